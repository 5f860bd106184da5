// The page shows the document of the server that it came from, and asks nobody else.
window.onload = () => {
  SwaggerUIBundle({
    url: "api/v1/openapi.json",
    dom_id: "#swagger-ui",
    deepLinking: true,
    displayRequestDuration: true,
    docExpansion: "list",
    validatorUrl: null,
    queryConfigEnabled: false,
  });
};
